"""Problems with known answers, out of files and from the Hugging Face hub."""
