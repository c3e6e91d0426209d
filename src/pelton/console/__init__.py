"""The web view that every worker serves: pages for people, on the same web server as everything else.

`frame.py` makes the page around what each page shows, `security.py` says who may change something, `routes.py` lists
the addresses. Nothing here knows Faust: what the pages need of the worker they get through `surroundings.Worker`.
"""
