"""`epimesh batch`: many photos in many processes, on one machine or on a Ray cluster."""
