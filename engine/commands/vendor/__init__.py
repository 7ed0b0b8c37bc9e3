"""Sharing graphs by copying them: `sources` finds or fetches, `gathering` says what a graph uses,
`placing` writes it into the project and watches over later changes. There is no registry.
"""
