"""The interface as a page, `/docs`: Swagger UI over the OpenAPI document.

Its scripts come from the installed package fastapi-offline and not from a CDN: a script of somebody else's on this origin could
read the key that the playground keeps, and a cluster without internet would show an empty page. Ours start it from a file of their
own, so that no inline script has to be allowed.
"""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException

ASSETS = Path(fastapi_offline.__file__).parent / "static"
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
START = "start.js"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mixwright: the interface</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def add_docs(app: FastAPI) -> None:
    """Adds the page and its files to the application."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name == START:
            return Response(SCRIPT, media_type="text/javascript")
        if name not in FILES:
            raise HTTPException(404)
        return FileResponse(ASSETS / name, headers={"Cache-Control": "max-age=86400"})
