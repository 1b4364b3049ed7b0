"""What an adapter's or a checkpoint's files say, read from headers and configuration without loading a tensor."""
