"""Which paths from an input to an output are left: passes that carry nothing but what comes from the inputs."""
