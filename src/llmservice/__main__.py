"""`python -m llmservice`."""

from llmservice.main import main

main()
