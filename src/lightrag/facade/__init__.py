"""What stands behind `lightrag.LightRAG`: LightRAG's Python interface over the engine."""
