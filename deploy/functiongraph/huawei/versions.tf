terraform {
  required_version = ">= 1.5"
  required_providers {
    huaweicloud = {
      source = "huaweicloud/huaweicloud"
      # The first that sends enable_auth_in_header.
      version = ">= 1.74.0"
    }
  }
}

# Credentials: HW_ACCESS_KEY and HW_SECRET_KEY of the person who deploys.
provider "huaweicloud" {
  region = var.region
}
