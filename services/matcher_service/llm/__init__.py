"""The AI tier: a language model's judgement of the pairs that the scores leave ambiguous."""
