"""What the service takes and gives, as OpenAPI has it."""

from collections.abc import Sequence
from typing import Any

import derain
from derain.serve.options import Option, options_of_derain, options_of_score

REFUSALS = {
    "400": "Wrong options, or no photo in the form.",
    "403": "The request came from another site's page.",
    "408": "The upload stalled.",
    "413": "Too many bytes or megapixels.",
    "415": "No photo that derain can read, or an unknown Content-Encoding.",
    "421": "A host name that the server does not answer to.",
    "422": "A photo that is damaged or cannot be written as asked for.",
    "429": "Too many photos of this client are waiting.",
    "500": "The network failed at this photo.",
    "503": "Too many photos are waiting, or the server is shutting down.",
}
ANY_FILE = {"type": "string", "format": "binary"}
ERROR = {
    "type": "object",
    "required": ["error", "status", "reason"],
    "properties": {"error": {"type": "string"}, "status": {"type": "integer"}, "reason": {"type": "string"}},
}
NUMBERS = {"type": "array", "items": {"type": "number"}}
SCORE = {
    "type": "object",
    "properties": {
        "input": {"type": "string"},
        "time": {"type": "null"},
        "score": {"type": "number", "description": "Share of the picture that shows rain."},
        "grid": {"type": "array", "items": NUMBERS, "description": "The same for each cell, row by row."},
        "streaks": {
            "type": ["object", "null"],
            "properties": {name: {"type": "number"} for name in ("degrees", "length", "width")},
        },
        "rainy": {"type": "boolean"},
        "error": {"type": "null"},
    },
}
HEADERS = {
    "Derain-Rain-Coverage": "Share of the photo that shows rain.",
    "Derain-Untouched": "true if no rain was found; the answer is then exactly the file that was sent.",
    "Derain-Seconds": "Seconds in the network.",
    "Derain-Notes": "What the result could not keep, percent-encoded.",
}


def openapi(weights: Sequence[str], root: str = "") -> dict[str, Any]:
    """The description of a service with these weights, mounted at ``root``."""
    pictures = {
        "200": {
            "description": "The picture, in the photo's own format unless told otherwise, or the requested parts.",
            "headers": {name: {"description": said, "schema": {"type": "string"}} for name, said in HEADERS.items()},
            "content": {"image/*": {"schema": ANY_FILE}, "multipart/form-data": {"schema": {"type": "object"}}},
        }
    }
    scores = {"200": _of_json("How much rain there is.", SCORE)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "derain",
            "version": derain.__version__,
            "description": "Removes rain from photos. Nothing that is sent is stored.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root or "/"}],
        "paths": {
            "/v1/derain": {
                "post": _photo("derain", "A picture in, a picture out.", options_of_derain(weights), pictures)
            },
            "/v1/score": {"post": _photo("score", "How much rain a photo shows.", options_of_score(weights), scores)},
            "/": {"get": _plain("page", "A page to drop photos on.", "text/html")},
            "/healthz": {"get": _plain("health", "Whether it serves, and with what limits.", "application/json")},
            "/metrics": {"get": _plain("metrics", "Counters for Prometheus.", "text/plain")},
            "/openapi.json": {"get": _plain("openapi", "This description.", "application/json")},
        },
    }


def _photo(name: str, summary: str, options: Sequence[Option], answers: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "object", "required": ["photo"], "properties": {"photo": ANY_FILE}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_parameter(option) for option in options],
        "requestBody": {
            "required": True,
            "description": "The photo's file itself, or a form with one file; Content-Encoding may be gzip.",
            "content": {"*/*": {"schema": ANY_FILE}, "multipart/form-data": {"schema": form}},
        },
        "responses": answers | {status: _of_json(said, ERROR) for status, said in REFUSALS.items()},
    }


def _parameter(option: Option) -> dict[str, Any]:
    found: dict[str, Any] = {"name": option.name, "in": "query", "description": option.description}
    found["schema"] = dict(option.schema)
    if option.schema.get("type") == "array":
        found |= {"style": "form", "explode": False}
    return found


def _plain(name: str, summary: str, media_type: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media_type: {}}}},
    }


def _of_json(said: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {"application/json": {"schema": schema}}}
