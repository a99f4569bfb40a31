"""What several generators share: how they see the photo, prior guesses, Zero-to-Hero as a setting."""
