"""What a release is made of, beside the code: `make wheel`, `make sbom`, and the locks."""
