"""The commands of `yld`: what is typed, told and returned."""
