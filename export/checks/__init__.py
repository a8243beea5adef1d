"""Every graph against PyTorch at export, in float32 and in float16."""
