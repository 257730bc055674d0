"""The paths left from an input to an output, found by passes that carry only values from the inputs."""
