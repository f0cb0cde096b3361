"""Bodies of requests and responses, with LightRAG's field names."""
