"""From score to discovery: a bump hunt in the invariant mass after a cut on the score."""
