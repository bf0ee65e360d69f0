"""What people look at: a trained autoencoder and rows, as plots and as a page to explore."""
