"""The scores that are fitted on training background; `models.fitted` names them all."""
