"""An OpenAPI document of a shop for pets, with what real ones have that makes it hard."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from callgate.config.openapi.documents import Document
from callgate.config.openapi.drafting import Draft, draft
from callgate.config.policies import Settings
from tests.unit.config.files import read

TEXT = {"type": "string"}
PET_ID = {"name": "petId", "in": "path", "required": True, "schema": TEXT}

PETS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pet Shop", "version": "1.2"},
    "servers": [
        {
            "url": "https://{place}.pets.example/v1/",
            "variables": {"place": {"default": "api"}},
        }
    ],
    "security": [{"key": []}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "token": {"type": "http", "scheme": "bearer"},
            "password": {"type": "http", "scheme": "basic"},
            "oauth": {"type": "oauth2", "flows": {}},
            "in_url": {"type": "apiKey", "in": "query", "name": "api_key"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        },
        "parameters": {
            "Limit": {
                "name": "limit",
                "in": "query",
                "description": "How many.",
                "schema": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            }
        },
        "schemas": {
            "Pet": {
                "type": "object",
                "title": "Pet",
                "required": ["name"],
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "name": {"type": "string", "example": "Rex", "maxLength": 20},
                    "tag": {"type": "string", "nullable": True},
                    "owner": {"$ref": "#/components/schemas/Owner"},
                },
            },
            "Owner": {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "pets": {"type": "array", "items": {"$ref": "#/components/schemas/Owner"}},
                },
            },
            "Dog": {
                "allOf": [
                    {"$ref": "#/components/schemas/Pet"},
                    {"type": "object", "required": ["barks"], "properties": {"barks": {"type": "boolean"}}},
                ]
            },
        },
    },
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "summary": "List pets.",
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "filter[tag]", "in": "query", "schema": {"type": "array", "items": TEXT}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
            },
            "post": {
                "operationId": "createPet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
                "responses": {"201": {}},
            },
        },
        "/pets/{petId}": {
            "parameters": [PET_ID],
            "get": {"operationId": "getPet", "responses": {"200": {"content": {"image/png": {}}}}},
            "put": {
                "requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}},
                "responses": {},
            },
            "delete": {"security": [], "responses": {"204": {}}},
        },
    },
}  # fmt: skip


def with_operation(operation: dict[str, Any], *, method: str = "post", path: str = "/x") -> Any:
    """Return the document with one operation and nothing else."""
    page = deepcopy(PETS)
    page["paths"] = {path: {method: operation}}
    return page


def drafted(page: Any = PETS, *only: str, source: str = "") -> Draft:
    """Return the draft of a document."""
    return draft(Document(page), only=only, source=source)


def settings(page: Any = PETS, *only: str, source: str = "") -> Settings:
    """Return the settings that a draft is."""
    return read(drafted(page, *only, source=source).text)
