"""The sub-commands of ``dwijax``, one module each; `dwijax.cli` says what such a module holds."""
