"""The language server: what an editor asks of a graph while it is being written.

A thin shell over `language` (parse, check, format) and the kinds' settings. `index` says which word
stands for what, `context` where in an unfinished text the cursor is, `hover`, `completion` and
`rename` answer, `server` speaks the protocol. Nothing is run and nothing is written from here.
"""
