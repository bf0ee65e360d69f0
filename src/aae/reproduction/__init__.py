"""The paper's tables and figures: trained, evaluated, recorded and compared with the paper's numbers."""
