"""All pages, in the order in which they are tried: those with names of their own before the names of people."""

from app.web import (
    accounts,
    audit,
    comparing,
    composing,
    home,
    lineage,
    merges,
    owning,
    problem_pages,
    repository,
    signing_in,
    static_files,
    uploading,
    watching,
)

first = (problem_pages.router,)
"""Before the paths of programs that they share."""
routers = (
    static_files.router,
    signing_in.router,
    accounts.router,
    audit.router,
    merges.router,
    uploading.router,
    uploading.forms,
    home.router,
    composing.router,
    watching.router,
    home.owners,
    lineage.router,
    comparing.router,
    owning.router,
    repository.router,
)
