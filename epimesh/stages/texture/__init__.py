"""What `BakeTexture` is made of: the atlas, what each camera shows of it, exposures, and colours for unseen places."""
