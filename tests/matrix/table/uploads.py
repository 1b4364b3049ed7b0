"""Bytes on their way in: what was uploaded by others makes no difference to anybody."""

from tests.matrix.rights import Right, Row, Thing

upload = "/api/v1/uploads/{id}"
of_the_subject = {"id": "$upload"}

rows = [
    Row(
        "PUT /api/v1/blobs/{digest}",
        Right.ANYBODY,
        Thing.VERSION,
        scopes=("write",),
        success=(201,),
        content="$data",
    ),
    Row(
        "POST /api/v1/uploads",
        Right.ANYBODY,
        Thing.VERSION,
        scopes=("write",),
        success=(201,),
        json={"digest": "$digest", "size": "$size"},
    ),
    Row(f"GET {upload}", Right.MINE, Thing.UPLOAD, scopes=("write",), params=of_the_subject),
    Row(
        f"PUT {upload}/parts/{{number}}",
        Right.MINE,
        Thing.UPLOAD,
        scopes=("write",),
        params=of_the_subject,
        success=(204,),
        content="$part",
    ),
    Row(
        f"POST {upload}/complete",
        Right.MINE,
        Thing.UPLOAD,
        scopes=("write",),
        params=of_the_subject,
        success=(201,),
        destroys=True,
    ),
]
