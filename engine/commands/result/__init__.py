"""`atk report`: what came of an exam, as a table, as one page and in the card of a model.

`gather` reads marks from a store, `figures` counts them, `text` lays them out as a table, `plot` draws them,
`page` puts all of it into one file.
"""
