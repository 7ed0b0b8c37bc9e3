"""`atk graph`: a graph as Mermaid text, and as a page that needs nothing but itself.

`facts` gathers what is known of each node, `layout` says where everything stands, `svg` draws it,
`page` puts picture, details, style (`page.css`) and script (`page.js`) into one file.
"""
