"""The typed Python SDK of the server."""
