"""Controls of self-attention at sampling time: what one may do, the processor that does it, and the controls."""
