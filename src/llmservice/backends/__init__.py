"""What runs models: one module a backend, all behind the contracts of `llmservice.backends.contracts`."""
