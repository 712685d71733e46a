output "function" {
  description = "The forwarder. Its URL is on its page in the console, under Function URL; a hook's address is that and its path."
  value       = tencentcloud_scf_function.forwarder.name
}

output "url" {
  description = "What SCF says of the function URL."
  value       = tencentcloud_scf_trigger.url.trigger_attribute
}

output "spill" {
  description = "Where deliveries wait."
  value       = var.spill ? "s3://${local.bucket}" : null
}
