"""HTML for people: pages, the upload form."""
