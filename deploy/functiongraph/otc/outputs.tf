output "url" {
  description = "A hook's address is this and its path."
  value       = "https://${local.host}"
}

output "function" {
  description = "The forwarder."
  value       = opentelekomcloud_fgs_function_v2.forwarder.urn
}

output "spill" {
  description = "Where deliveries wait."
  value       = var.spill ? "s3://${local.bucket}" : null
}
