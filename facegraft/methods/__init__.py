"""Face-swapping methods: one file each, which reads like its paper. A file without a leading underscore is a method."""
