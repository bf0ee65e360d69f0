"""The paper's tables and figures: trained, measured, recorded and laid beside the paper's numbers."""
