"""The table: what every mounted route needs, one section per router. A route that no section knows fails the build."""

from tests.matrix.rights import Row
from tests.matrix.table import (
    accounts,
    hub,
    merge_pages,
    merges,
    outside,
    pages,
    repositories,
    repository_pages,
    stacks,
    upload_pages,
    uploads,
    versions,
)

sections: dict[str, list[Row]] = {
    "accounts": accounts.rows,
    "repositories": repositories.rows,
    "uploads": uploads.rows,
    "upload pages": upload_pages.rows,
    "versions": versions.rows,
    "merges": merges.rows,
    "merge pages": merge_pages.rows,
    "repository pages": repository_pages.rows,
    "stacks": stacks.rows,
    "hub": hub.rows,
    "outside": outside.rows,
    "pages": pages.rows,
}
