"""How a run happens: the slots, the order of the stages, and the folder that keeps what they make."""
