"""Drafts settings of tools from an OpenAPI document, for somebody to cut down and correct."""
