"""A page to look at what a bundle makes: `fg-run studio`.

`requests` says what the page may ask for, `prints` makes it with a model, `files` packs it as files, and
`app` answers over HTTP; `page/` is what the browser loads.
"""
