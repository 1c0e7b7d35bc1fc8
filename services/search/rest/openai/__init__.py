"""OpenAI's chat completions over searches, so that its stock clients work."""
