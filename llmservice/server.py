"""Start the model service: `python server.py`. Settings come from the environment and from `.env` beside this file."""

from __future__ import annotations

from llmservice.main import main

if __name__ == "__main__":
    main()
