"""Messages to the parties and their replies, over Flower's grid."""
