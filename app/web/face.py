"""All pages, in the order in which they are tried: those with names of their own before the names of people."""

from app.web import (
    accounts,
    audit,
    comparing,
    composing,
    docs,
    home,
    lineage,
    merges,
    owning,
    problem_pages,
    recalls,
    repository,
    signing_in,
    stacks,
    static_files,
    uploading,
    watching,
)

first = (problem_pages.router,)
"""Before the paths of programs that they share."""
routers = (
    static_files.router,
    docs.router,
    signing_in.router,
    accounts.router,
    audit.router,
    merges.router,
    recalls.router,
    uploading.router,
    uploading.forms,
    home.router,
    composing.router,
    watching.router,
    home.owners,
    lineage.router,
    stacks.router,
    comparing.router,
    owning.router,
    repository.router,
)
