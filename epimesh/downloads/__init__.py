"""Files of the Hugging Face hub: which there are, which of them are needed, and how they come here whole."""
