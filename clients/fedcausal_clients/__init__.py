"""What runs at a hospital: its site file, policy, egress gate, audit log and Flower ClientApp."""
