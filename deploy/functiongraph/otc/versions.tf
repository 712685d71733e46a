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

# Credentials: OS_ACCESS_KEY, OS_SECRET_KEY, OS_DOMAIN_NAME, OS_TENANT_NAME and OS_AUTH_URL of the person who deploys.
provider "opentelekomcloud" {}
