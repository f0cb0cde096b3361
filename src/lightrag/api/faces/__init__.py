"""What other programs' clients see of this server: an Ollama server, and a server of OpenAI's chat dialect."""
