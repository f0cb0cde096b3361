"""An OpenAI-compatible server of local models."""
