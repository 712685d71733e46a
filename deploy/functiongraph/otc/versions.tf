terraform {
  required_version = ">= 1.5"
  required_providers {
    opentelekomcloud = {
      source = "opentelekomcloud/opentelekomcloud"
      # The first whose schema these files were checked with.
      version = ">= 1.36.54"
    }
  }
}

# Credentials: OS_ACCESS_KEY, OS_SECRET_KEY and OS_DOMAIN_NAME of the person who deploys.
provider "opentelekomcloud" {
  region      = var.region
  auth_url    = local.auth_url
  tenant_name = coalesce(var.tenant_name, var.project_name)
}

# Roles and agencies belong to the domain, and the provider refuses them where a project is set. The empty texts keep
# OS_TENANT_NAME and OS_PROJECT_ID of the environment out.
provider "opentelekomcloud" {
  alias       = "domain"
  region      = var.region
  auth_url    = local.auth_url
  tenant_name = ""
  tenant_id   = ""
}
