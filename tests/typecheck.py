"""The checker that jaxtyping applies to every signature while the tests run."""

from beartype import BeartypeConf, beartype

# an int is welcome where a float is asked for, as type checkers have it (PEP 484)
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
